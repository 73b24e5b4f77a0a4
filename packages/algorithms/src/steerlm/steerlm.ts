import { sft } from "../supervised/sft.ts"

/**
 * SteerLM: supervised fine-tuning on responses conditioned on their grades, which people or an attribute model gave,
 *
 *   L = −Σ log π(y_t | x, a, y_<t) / tokens
 *
 * so that at inference grades that are asked for steer the response. The data have the label a between prompt and response;
 * only the response is learnt. Conditioning needs both good and bad responses: from their labels the model learns which is which.
 *
 * @param attributes in the order of the label
 * @see Dong et al. 2023, https://arxiv.org/abs/2310.05344
 */
export const steerLm = (attributes: ReadonlyArray<string>) => ({ ...sft(), name: "steerlm", config: { attributes } })
