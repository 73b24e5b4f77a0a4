/** A parameter's place in a model: its Hugging Face name, its shape, and what a new model starts it with. */
export interface ParameterSpec {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** normal: N(0, initializerRange²) */
  readonly initial: "normal" | "ones" | "zeros"
  /** Share of tokens that are computed with it; 1 when absent. */
  readonly use?: number
  /** Whether it stays as it is where linear layers are kept in 4 bits; false when absent. */
  readonly isExact?: boolean
}

/** `name.weight` [outputs, inputs], and `name.bias` [outputs] where the layer has one. */
export const linearParameters = (
  name: string,
  outputs: number,
  inputs: number,
  bias: boolean
): ReadonlyArray<ParameterSpec> => [
  { name: `${name}.weight`, shape: [outputs, inputs], initial: "normal" },
  ...(bias ? [{ name: `${name}.bias`, shape: [outputs], initial: "zeros" } as const] : [])
]

export const elementCount = (shape: ReadonlyArray<number>): number => shape.reduce((product, size) => product * size, 1)
