/** Whether a reward model is named by the address of its server; by its folder otherwise. */
export const isAddress = (place: string): boolean => /^https?:\/\//i.test(place)
