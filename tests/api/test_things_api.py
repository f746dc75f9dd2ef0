"""Things, thing types and thing groups through boto3, from request to answer."""

from __future__ import annotations

import uuid
from typing import Any

from registry_house import RegistryHouse, refusal

from fleetward.store.tables.registry import things

MINUTE = 60_000
INVALID, MISSING = ("InvalidRequestException", 400), ("ResourceNotFoundException", 404)


def every(page: Any, key: str, **params: Any) -> list[Any]:
    """All items of a list, page by page."""
    found, token = [], {}
    while True:
        answer = page(**params, **token)
        found += answer[key]
        name = "nextToken" if "nextToken" in answer else "nextMarker"
        if not answer.get(name):
            return found
        token = {"nextToken" if name == "nextToken" else "marker": answer[name]}


class TestThings:
    def test_life_of_a_thing(self, iot: Any) -> None:
        """A thing is made, described, changed against its version, and deleted; its id is a UUID and stays."""
        made = iot.create_thing(thingName="lamp", attributePayload={"attributes": {"room": "hall"}})
        assert uuid.UUID(made["thingId"])
        assert (
            iot.create_thing(thingName="lamp", attributePayload={"attributes": {"room": "hall"}})["thingId"]
            == (made["thingId"])
        )
        assert refusal(iot.create_thing, thingName="lamp")[:2] == ("ResourceAlreadyExistsException", 409)
        iot.update_thing(
            thingName="lamp", attributePayload={"attributes": {"floor": "1"}, "merge": True}, expectedVersion=1
        )
        shown = iot.describe_thing(thingName="lamp")
        assert (shown["thingId"], shown["version"], shown["attributes"]) == (
            made["thingId"],
            2,
            {"room": "hall", "floor": "1"},
        )
        for change in (iot.update_thing, iot.delete_thing):
            assert refusal(change, thingName="lamp", expectedVersion=1)[:2] == ("VersionConflictException", 409)
        iot.delete_thing(thingName="lamp", expectedVersion=2)
        iot.delete_thing(thingName="lamp")
        assert refusal(iot.describe_thing, thingName="lamp")[:2] == MISSING

    def test_a_thing_that_only_the_store_knows(self, registry: RegistryHouse) -> None:
        """A thing that was written past the server is found all the same when it is created again."""
        row = {"name": "lamp", "attributes": {"room": "hall"}, "version": 1, "created_at": 0}
        with registry.house.rooms.database.connect(writing=True) as connection:
            connection.execute(things.insert(), row)
        hall, attic = ({"attributes": {"room": room}} for room in ("hall", "attic"))
        assert registry.iot.create_thing(thingName="lamp", attributePayload=hall)["thingName"] == "lamp"
        refused = refusal(registry.iot.create_thing, thingName="lamp", attributePayload=attic)
        assert refused[:2] == ("ResourceAlreadyExistsException", 409)

    def test_near_name(self, iot: Any) -> None:
        """The refusal of a name that is not there suggests one that is."""
        for number in range(60):
            iot.create_thing(thingName=f"SensorDevice{number:02}")
        assert "Did you mean SensorDevice59?" in refusal(iot.describe_thing, thingName="SensorDevice591")[2]

    def test_billing_groups_are_refused(self, iot: Any) -> None:
        """What would be ignored is refused."""
        assert refusal(iot.create_thing, thingName="a", billingGroupName="b")[0] == "NotImplementedException"

    def test_listing(self, iot: Any) -> None:
        """Things are listed page by page: all, of a type, by attribute, value and beginning of a value."""
        iot.create_thing_type(thingTypeName="Lamp", thingTypeProperties={"searchableAttributes": ["room"]})
        for number in range(7):
            attributes = {"attributes": {"room": f"hall{number % 3}", "serial": str(number)}}
            kind = {"thingTypeName": "Lamp"} if number % 2 else {}
            iot.create_thing(thingName=f"t{number}", attributePayload=attributes, **kind)

        def names(**filters: Any) -> list[str]:
            return [thing["thingName"] for thing in every(iot.list_things, "things", maxResults=2, **filters)]

        assert names() == [f"t{number}" for number in range(7)]
        assert names(thingTypeName="Lamp") == ["t1", "t3", "t5"]
        assert names(attributeName="room", attributeValue="hall1") == ["t1", "t4"]
        assert names(attributeName="room", attributeValue="hall") == []
        assert sorted(names(attributeName="room", attributeValue="hall", usePrefixAttributeValue=True)) == names()
        assert names(attributeName="room", attributeValue="hall1", thingTypeName="Lamp") == ["t1"]
        assert names(attributeName="serial") == ["t0", "t2", "t4", "t6"], "a type says what is searchable"
        assert refusal(iot.list_things, attributeValue="x")[:2] == INVALID


class TestThingTypes:
    def test_life_of_a_type(self, registry: RegistryHouse, iot: Any) -> None:
        """A type is made, changed, deprecated, brought back, and deleted five minutes after its deprecation."""
        mqtt5 = {"propagatingAttributes": [{"userPropertyKey": "k", "thingAttribute": "room"}]}
        properties = {"thingTypeDescription": "d", "searchableAttributes": ["room"], "mqtt5Configuration": mqtt5}
        made = iot.create_thing_type(
            thingTypeName="Lamp", thingTypeProperties=properties, tags=[{"Key": "a", "Value": "b"}]
        )
        assert made["thingTypeArn"] == registry.arn("thingtype", "Lamp")
        assert iot.list_tags_for_resource(resourceArn=made["thingTypeArn"])["tags"] == [{"Key": "a", "Value": "b"}]
        shown = iot.describe_thing_type(thingTypeName="Lamp")
        assert (shown["thingTypeId"], shown["thingTypeProperties"]) == (made["thingTypeId"], properties)
        assert not shown["thingTypeMetadata"]["deprecated"]
        iot.update_thing_type(thingTypeName="Lamp", thingTypeProperties={"thingTypeDescription": "e"})
        assert iot.list_thing_types(thingTypeName="Lamp")["thingTypes"][0]["thingTypeProperties"] == (
            properties | {"thingTypeDescription": "e"}
        )
        iot.create_thing(thingName="lamp", thingTypeName="Lamp")
        assert iot.describe_thing(thingName="lamp")["thingTypeName"] == "Lamp"
        iot.deprecate_thing_type(thingTypeName="Lamp")
        assert refusal(iot.create_thing, thingName="new", thingTypeName="Lamp")[:2] == INVALID
        iot.deprecate_thing_type(thingTypeName="Lamp", undoDeprecate=True)
        iot.deprecate_thing_type(thingTypeName="Lamp")
        assert iot.describe_thing_type(thingTypeName="Lamp")["thingTypeMetadata"]["deprecationDate"]
        assert "5 minutes" in refusal(iot.delete_thing_type, thingTypeName="Lamp")[2]
        registry.house.skew = 5 * MINUTE
        assert "associated" in refusal(iot.delete_thing_type, thingTypeName="Lamp")[2]
        iot.update_thing(thingName="lamp", removeThingType=True)
        iot.delete_thing_type(thingTypeName="Lamp")
        assert refusal(iot.describe_thing_type, thingTypeName="Lamp")[:2] == MISSING


class TestGroups:
    def test_hierarchy(self, iot: Any) -> None:
        """A hierarchy is seven levels deep at most, and tells its way from the root."""
        for level in range(7):
            parent = {"parentGroupName": f"level{level - 1}"} if level else {}
            iot.create_thing_group(thingGroupName=f"level{level}", **parent)
        refused = refusal(iot.create_thing_group, thingGroupName="level7", parentGroupName="level6")
        assert refused[:2] == INVALID
        line = iot.describe_thing_group(thingGroupName="level3")["thingGroupMetadata"]["rootToParentThingGroups"]
        assert [group["groupName"] for group in line] == ["level0", "level1", "level2"]
        assert refusal(iot.delete_thing_group, thingGroupName="level0")[:2] == INVALID

    def test_hundred_children(self, iot: Any) -> None:
        """A group has at most 100 direct children."""
        iot.create_thing_group(thingGroupName="root")
        for number in range(100):
            iot.create_thing_group(thingGroupName=f"child{number:03}", parentGroupName="root")
        assert refusal(iot.create_thing_group, thingGroupName="x", parentGroupName="root")[:2] == INVALID
        found = every(iot.list_thing_groups, "thingGroups", parentGroup="root", maxResults=30)
        assert [group["groupName"] for group in found] == [f"child{number:03}" for number in range(100)]

    def test_listing(self, iot: Any) -> None:
        """Groups are listed by how they begin (case counts), below a parent, directly or all the way down."""
        iot.create_thing_group(thingGroupName="a")
        for name, parent in (("a1", "a"), ("A2", "a"), ("b_", "a1")):
            iot.create_thing_group(thingGroupName=name, parentGroupName=parent)

        def names(**filters: Any) -> list[str]:
            return [
                group["groupName"] for group in every(iot.list_thing_groups, "thingGroups", maxResults=1, **filters)
            ]

        assert names() == ["A2", "a", "a1", "b_"]
        assert names(namePrefixFilter="a") == ["a", "a1"]
        assert names(recursive=False) == ["a"]
        assert names(parentGroup="a", recursive=False) == ["A2", "a1"]
        assert names(parentGroup="a", recursive=True) == ["A2", "a1", "b_"]
        assert refusal(iot.list_thing_groups, parentGroup="zz")[:2] == MISSING

    def test_attributes_and_version(self, iot: Any) -> None:
        """Group attributes are merged or replaced, at most 50 of them, against the version that was expected."""
        iot.create_thing_group(
            thingGroupName="g",
            thingGroupProperties={"thingGroupDescription": "d", "attributePayload": {"attributes": {"a": "1"}}},
        )
        update = {"attributePayload": {"attributes": {"b": "2"}, "merge": True}}
        answer = iot.update_thing_group(thingGroupName="g", thingGroupProperties=update, expectedVersion=1)
        assert answer["version"] == 2
        shown = iot.describe_thing_group(thingGroupName="g")["thingGroupProperties"]
        assert shown == {"thingGroupDescription": "d", "attributePayload": {"attributes": {"a": "1", "b": "2"}}}
        refused = refusal(iot.update_thing_group, thingGroupName="g", thingGroupProperties=update, expectedVersion=1)
        assert refused[:2] == ("VersionConflictException", 409)
        many = {"attributePayload": {"attributes": {f"k{number}": "v" for number in range(51)}}}
        assert refusal(iot.update_thing_group, thingGroupName="g", thingGroupProperties=many)[:2] == INVALID

    def test_members(self, iot: Any) -> None:
        """Members are listed group by group, with those below when asked, each once."""
        for name, parent in (("root", None), ("left", "root"), ("right", "root")):
            iot.create_thing_group(thingGroupName=name, **({"parentGroupName": parent} if parent else {}))
        for number in range(9):
            iot.create_thing(thingName=f"t{number}")
            group = ("root", "left", "right")[number % 3]
            iot.add_thing_to_thing_group(thingName=f"t{number}", thingGroupName=group)
        found = every(iot.list_things_in_thing_group, "things", thingGroupName="root", recursive=True, maxResults=2)
        assert len(found) == len(set(found)) == 9
        found = every(iot.list_things_in_thing_group, "things", thingGroupName="root", maxResults=2)
        assert found == ["t0", "t3", "t6"]

    def test_moving_is_one_change(self, iot: Any) -> None:
        """A thing moves between groups of one hierarchy at once, or not at all."""
        for name, parent in (("root", None), ("left", "root"), ("right", "root")):
            iot.create_thing_group(thingGroupName=name, **({"parentGroupName": parent} if parent else {}))
        iot.create_thing(thingName="t")
        iot.add_thing_to_thing_group(thingName="t", thingGroupName="left", overrideDynamicGroups=True)
        move = iot.update_thing_groups_for_thing

        def groups() -> list[str]:
            return [group["groupName"] for group in iot.list_thing_groups_for_thing(thingName="t")["thingGroups"]]

        refused = refusal(move, thingName="t", thingGroupsToRemove=["left"], thingGroupsToAdd=["right", "nowhere"])
        assert refused[:2] == MISSING
        assert groups() == ["left"]
        move(thingName="t", thingGroupsToRemove=["left"], thingGroupsToAdd=["right"], overrideDynamicGroups=True)
        assert groups() == ["right"]
        assert refusal(move, thingGroupsToAdd=["left"])[:2] == INVALID
        assert refusal(move, thingName="t", thingGroupsToAdd=["left"], thingGroupsToRemove=["left"])[:2] == INVALID

    def test_names_and_arns(self, registry: RegistryHouse, iot: Any) -> None:
        """Groups and things go by name or ARN; an ARN of another region, or two that differ, is refused."""
        iot.create_thing(thingName="t")
        iot.create_thing_group(thingGroupName="g")
        thing, group = registry.arn("thing", "t"), registry.arn("thinggroup", "g")
        iot.add_thing_to_thing_group(thingArn=thing, thingGroupArn=group)
        iot.remove_thing_from_thing_group(thingArn=thing, thingName="t", thingGroupArn=group)
        add = iot.add_thing_to_thing_group
        for wrong in (
            {"thingName": "t"},
            {"thingName": "t", "thingGroupArn": thing},
            {"thingName": "t", "thingGroupName": "h", "thingGroupArn": group},
            {"thingName": "t", "thingGroupArn": group.replace("us-east-1", "eu-west-1")},
        ):
            assert refusal(add, **wrong)[:2] == INVALID
        assert refusal(add, thingName="t", thingGroupName="gg")[:2] == MISSING
