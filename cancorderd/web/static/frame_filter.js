// The filter above the live frames: terms with spaces or commas between them, of which one has to fit.

export class FrameFilter {
  /** A term is a part of an id (7E), a range (100-1FF), or a part of the name of a message or signal. */
  constructor(text) {
    this.terms = text.split(/[\s,]+/).filter(Boolean).map(term);
  }

  passes(row) {
    return this.terms.length === 0 || this.terms.some((fits) => fits(row));
  }
}

function term(text) {
  const range = /^(?:0x)?([0-9a-f]{1,8})-(?:0x)?([0-9a-f]{1,8})$/i.exec(text);
  if (range) {
    const [first, last] = [parseInt(range[1], 16), parseInt(range[2], 16)];
    return (row) => first <= row.id && row.id <= last;
  }
  const part = text.toLowerCase().replace(/^0x/, "");
  return (row) => row.key.toLowerCase().includes(part) || row.names.includes(part);
}
