import { assert, describe, it } from "vitest"
import { crc32c, maskedCrc32c } from "./crc32c.ts"

describe("crc32c", () => {
  it("gives the values of RFC 3720, appendix B.4", () => {
    const values: ReadonlyArray<[Uint8Array, number]> = [
      [new Uint8Array(32), 0x8a9136aa],
      [new Uint8Array(32).fill(0xff), 0x62a8ab43],
      [Uint8Array.from({ length: 32 }, (_, byte) => byte), 0x46dd794e],
      [Uint8Array.from({ length: 32 }, (_, byte) => 31 - byte), 0x113fdb5c]
    ]
    for (const [bytes, expected] of values) assert.strictEqual(crc32c(bytes), expected)
  })

  it("gives the check value of the CRC catalogue for the digits 1 to 9", () => {
    assert.strictEqual(crc32c(Buffer.from("123456789")), 0xe3069283)
  })

  it("masks by rotation and addition", () => {
    // 0xe3069283 rotated right by 15: 0x2507c60d; + 0xa282ead8 = 0xc78ab0e5.
    assert.strictEqual(maskedCrc32c(Buffer.from("123456789")), 0xc78ab0e5)
  })
})
