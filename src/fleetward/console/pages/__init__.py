"""The pages, one module a noun; MENU (console/menu.py) names them."""
