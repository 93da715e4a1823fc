// Search works in a worker, and browsers start none for a page that is read from a folder. There a
// hidden frame does the work, which takes and answers the same messages.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      // Else Firefox would put another document there later.
      inside.document.open()
      inside.document.write("<!doctype html><title>search</title><body>")
      inside.document.close()
      const load = (place) =>
        new Promise((done, failed) => {
          const script = inside.document.createElement("script")
          script.src = place
          script.onload = done
          script.onerror = () => failed(new Error(`${place} cannot be loaded`))
          inside.document.body.append(script)
        })
      inside.importScripts = (...places) =>
        places.reduce((before, place) => before.then(() => load(place)), Promise.resolve())
      inside.postMessage = (data) =>
        queueMicrotask(() => this.dispatchEvent(new MessageEvent("message", { data })))
      this.loaded = load(new URL(url, document.baseURI))
    }

    postMessage(data) {
      this.loaded.then(() => {
        const inside = this.frame.contentWindow
        inside.dispatchEvent(new inside.MessageEvent("message", { data }))
      })
    }

    terminate() {
      this.frame.remove()
    }
  }
}
