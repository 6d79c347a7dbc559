// The search runs in a worker, which browsers refuse to a page that is opened from a folder: there it runs in a hidden
// frame instead. The theme looks for this class by its name.
window.IFrameWorker = class extends EventTarget {
  constructor(url) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    frame.srcdoc = `<script>
      var postMessage = data => parent.dispatchEvent(new MessageEvent("frame", {data: {frame: window, data}}))
      var importScripts = (...urls) => urls.reduce((loaded, url) => loaded.then(() => new Promise((done, failed) => {
        const script = document.createElement("script")
        Object.assign(script, {src: url, onload: done, onerror: failed})
        document.body.appendChild(script)
      })), Promise.resolve())
    <\/script><body><script src="${new URL(url, location)}"><\/script>`
    const waiting = []
    frame.addEventListener("load", () => { this.ready = true; waiting.forEach(data => this.postMessage(data)) })
    window.addEventListener("frame", ({data}) => {
      if (data.frame === frame.contentWindow) this.dispatchEvent(new MessageEvent("message", {data: data.data}))
    })
    this.postMessage = data => this.ready
      ? frame.contentWindow.dispatchEvent(new MessageEvent("message", {data})) : waiting.push(data)
    document.body.appendChild(frame)
  }
}
if (location.protocol === "file:") window.Worker = window.IFrameWorker
