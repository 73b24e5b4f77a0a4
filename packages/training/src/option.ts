export { needed, NonNegative, NonNegativeInt, option, optional, Positive, PositiveInt, Share } from "@plumbline/data"
