// What can be answered: one of four levels, or of a pair which of the two is worse: 1 the left one, 2 same, 3 the right.

import { hasText, t } from "./texts.js";

const SIDES = ["left", "same", "right"];

export function answers(paired) {
  return paired ? [1, 2, 3] : [1, 2, 3, 4];
}

/** What a vote says, for the server. */
export function said(level, paired) {
  return paired ? { worse: SIDES[level - 1] } : { level };
}

/** The answer in something that the server tells of a vote, or null where there was none. */
export function answerOf({ level, worse }) {
  return worse ? SIDES.indexOf(worse) + 1 : level;
}

/** A text, in its own words for pairs where it has such. */
export function told(key, paired, values = {}) {
  return t(paired && hasText(`pair.${key}`) ? `pair.${key}` : key, values);
}

/** An answer or a level as the lead's lists call it: sides change from person to person. */
export function toLead(level, paired) {
  return paired ? t(`pair.lead.${level}`) : `${level} ${t(`level.${level}.name`)}`;
}

/** An answer in words, or a level as it is. */
export function inWords(level, paired) {
  return paired ? t(`pair.${level}.name`) : level;
}
