import { Effect, Stream } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { describe, expect, it } from "vitest"
import { textLines, wholeText } from "./answer-text.ts"

/** An answer whose body comes in these parts, and then again and again where it is endless. */
const answer = (parts: ReadonlyArray<string>, endless = false) => {
  let place = 0
  const bytes = parts.map((part) => new TextEncoder().encode(part))
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (place === bytes.length && !endless) return controller.close()
      controller.enqueue(bytes[place++ % bytes.length]!)
    }
  })
  return HttpClientResponse.fromWeb(HttpClientRequest.get("http://x"), new Response(body))
}

describe("the text of an answer", () => {
  it("is read up to its end, and in its lines", async () => {
    expect(await Effect.runPromise(wholeText(answer(["abc", "defg"]), 7))).toBe("abcdefg")
    const lines = await Effect.runPromise(Stream.runCollect(textLines(answer(["abc\nd", "ef\r\n", "", "ghi"]), 3)))
    expect([...lines]).toEqual(["abc", "def", "ghi"])
  })

  it("is given up where it does not end, or a line of it", async () => {
    const whole = await Effect.runPromise(Effect.flip(wholeText(answer(["abc", "def"], true), 100)))
    expect(whole).toMatchObject({ reason: "its answer does not end within 100 characters", transient: false })
    const line = Stream.runDrain(textLines(answer(["abc", "def"], true), 100))
    expect((await Effect.runPromise(Effect.flip(line))).reason).toBe(whole.reason)
  })
})
