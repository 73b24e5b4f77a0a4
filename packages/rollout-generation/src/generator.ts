import { Context } from "effect"
import type { GeneratorShape } from "./generator-shape.ts"

/** Responses of a policy to prompts: an engine of this process, or a server. */
export class Generator extends Context.Service<Generator, GeneratorShape>()(
  "@plumbline/rollout-generation/Generator"
) {}
