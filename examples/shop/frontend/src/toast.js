import { reactive } from 'vue'

const SHOWN = 3500

/** What the shop says in passing. */
export const toast = reactive({ text: '', id: 0 })

export function hush() {
  toast.text = ''
}

export function say(text) {
  toast.text = text
  const id = ++toast.id
  setTimeout(() => {
    if (toast.id === id) hush()
  }, SHOWN)
}
