import { tf, type Tensor2D } from "../tf.ts"
import type { FusedCase } from "./fused-case.ts"
import { type Draw, drawn } from "./random-draw.ts"
import { noise } from "./tensors.ts"

/** No token, as of a batch in which nothing is scored, or one, or an odd number of them, or any. */
export const tokensOf = (draw: Draw) => draw.one([0, 1, 2 * draw.whole(1, 40) + 1, draw.whole(2, 80)])
export const widthOf = (draw: Draw) => draw.one([1, 3, 8, 17, 64, 65])

/** A matrix whose products with unit normal numbers are unit normal. */
export const matrix = (outputs: number, width: number, name: string) =>
  tf.div(noise([outputs, width], name), Math.sqrt(width)) as Tensor2D

export type Make = (draw: Draw) => Omit<FusedCase, "title"> & { readonly shape: string }

/** Each layer on a few shapes. */
export const layersOf = (makers: Readonly<Record<string, Make>>): ReadonlyArray<FusedCase> =>
  Object.entries(makers).flatMap(([name, make]) =>
    drawn(name, 5, (draw) => {
      const { shape, ...made } = make(draw)
      return { title: `${name} ${shape}`, ...made }
    })
  )
