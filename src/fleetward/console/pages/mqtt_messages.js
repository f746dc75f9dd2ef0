// The latest messages of watched topics, newest first; older ones are forgotten.
const KEPT = 200;
const SHOWN_CHARACTERS = 4000;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
function hexOf(bytes) {
  return Array.from(bytes.slice(0, 1024), (byte) => byte.toString(16).padStart(2, "0")).join(" ") + (bytes.length > 1024 ? " …" : "");
}
function textOf(bytes, format, isWhole) {
  if (format === "hex") return hexOf(bytes);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: isWhole }).decode(bytes);
  } catch {
    return hexOf(bytes);
  }
  if (format === "json") {
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // it is no JSON: shown as it is
    }
  }
  return text.length > SHOWN_CHARACTERS ? text.slice(0, SHOWN_CHARACTERS) + " …" : text;
}

export default {
  template: `
    <div class="messages" role="log" aria-label="Messages" aria-live="off" tabindex="0">
      <article v-for="message in messages" :key="message.key" class="message">
        <header>
          <code class="message-topic">{{ message.topic }}</code>
          <span class="quiet">
            <time :datetime="message.utc" :title="message.utc">{{ message.local }}</time>
            · {{ message.size }} · QoS {{ message.qos }}<template v-if="message.retain"> · retained</template>
            · {{ message.sender ? "from " + message.sender : "from the server" }}
          </span>
        </header>
        <pre>{{ shown(message) }}</pre>
      </article>
    </div>`,
  props: { format: String },
  data: () => ({ messages: [] }),
  methods: {
    add(messages) {
      for (const message of messages) {
        const time = new Date(message.time);
        this.messages.unshift({ ...message, bytes: bytesOf(message.payload), utc: time.toISOString(), local: time.toLocaleTimeString() });
      }
      this.messages.length = Math.min(this.messages.length, KEPT);
    },
    clear() {
      this.messages = [];
    },
    shown(message) {
      return message.bytes.length ? textOf(message.bytes, this.format, message.whole) : "(empty)";
    },
  },
};
