import { describe, expect, it } from "vitest"
import { dpo } from "./dpo.ts"
import { lengthDesensitized } from "./ld-dpo.ts"
import { mix } from "./mix.ts"
import { rpoSquared } from "./rpo.ts"
import { aot } from "./aot.ts"
import { onPolicyWeighted } from "./wpo.ts"

describe("modifiers of a loss", () => {
  it("keep what they modify, and say what they are", () => {
    const loss = onPolicyWeighted(lengthDesensitized(dpo({ beta: 0.2 }), { alpha: 0.3 }))
    expect(loss).toMatchObject({ name: "wpo-ld-dpo", beta: 0.2, tailWeight: 0.3, onPolicyWeights: true })
  })

  it.each([-0.1, 1.1, Number.NaN])("LD-DPO refuses α = %s", (alpha) => {
    expect(() => lengthDesensitized(dpo({ beta: 0.1 }), { alpha })).toThrow(/between 0 \(not at all\) and 1/)
  })

  it("WPO refuses losses that set pairs against one another, in a mix, too", () => {
    const sorted = aot({ beta: 0.1 })
    const mixed = mix([
      { loss: dpo({ beta: 0.1 }), weight: 1 },
      { loss: sorted, weight: 1 }
    ])
    for (const loss of [sorted, mixed]) expect(() => onPolicyWeighted(loss)).toThrow(/no part of it is one pair's/)
  })

  it("apply to a whole mix: a part that brings one is refused", () => {
    const parts = (loss: ReturnType<typeof dpo>) => [{ loss, weight: 1 }] as const
    expect(() => mix(parts(onPolicyWeighted(dpo({ beta: 0.1 }))))).toThrow(/apply it to the mix/)
    expect(() => mix(parts(lengthDesensitized(dpo({ beta: 0.1 }), { alpha: 0.5 })))).toThrow(/apply it to the mix/)
    expect(mix(parts(rpoSquared({ beta: 0.1 })))).toMatchObject({ needsRewards: true, coupled: false })
    expect(mix(parts(aot({ beta: 0.1 })))).toMatchObject({ needsRewards: false, coupled: true })
  })
})
