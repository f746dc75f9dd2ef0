// A moment in the viewer's own zone; the exact UTC on hover.
export default {
  template: `<time v-if="millis" :datetime="utc" :title="utc">{{ local }}</time><span v-else class="quiet">–</span>`,
  props: { millis: Number },
  computed: {
    utc() {
      return new Date(this.millis).toISOString();
    },
    local() {
      return new Date(this.millis).toLocaleString();
    },
  },
};
