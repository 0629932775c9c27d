#!/usr/bin/env node
// Prints the frames of a bus, with Node.js (18 or later) and no packages.
//
// usage: node client.js HOST PORT [COUNT]
"use strict";

const net = require("node:net");

const HEADER = 14; // bytes
const LONGEST = 64;
const [EXTENDED, FD] = [1, 2]; // bits of flags; BRS is 4, ESI is 8

// Yields each frame until the server ends the stream. A chunk may end within a packet, whose bytes stay in `rest`.
async function* frames(socket) {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER) {
      const length = rest.readUInt8(13);
      if (length > LONGEST) throw new Error("this is not the ECUconnect Logger protocol");
      if (rest.length < HEADER + length) break;
      yield {
        timestampUs: rest.readBigUInt64BE(0), // since 1970; a BigInt, since a Number holds 53 bits only
        id: rest.readUInt32BE(8),
        flags: rest.readUInt8(12),
        data: rest.subarray(HEADER, HEADER + length),
      };
      rest = rest.subarray(HEADER + length);
    }
  }
  if (rest.length > 0) throw new Error("the stream ended within a packet");
}

// Formats a frame as candump does: ## and a digit (1: BRS, 2: ESI) stand for CAN FD.
function line({ timestampUs, id, flags, data }) {
  const time = `${timestampUs / 1000000n}.${String(timestampUs % 1000000n).padStart(6, "0")}`;
  const name = id.toString(16).toUpperCase().padStart(flags & EXTENDED ? 8 : 3, "0");
  const mark = flags & FD ? `##${(flags >> 2).toString(16).toUpperCase()}` : "#";
  return `(${time}) ${name}${mark}${data.toString("hex").toUpperCase()}`;
}

async function main(host, port, count = Infinity) {
  let left = Number(count);
  if (left === 0) return;
  for await (const frame of frames(net.connect({ host, port }))) {
    console.log(line(frame));
    if (--left === 0) return; // leaving the loop closes the connection
  }
}

const words = process.argv.slice(2);
if (words.length !== 2 && words.length !== 3) {
  console.error("usage: node client.js HOST PORT [COUNT]");
  process.exit(2);
}
process.stdout.on("error", () => process.exit(0)); // nobody reads the output any more
main(...words).catch((error) => {
  console.error(`${words[0]} port ${words[1]}: ${error.message || error.code}`);
  process.exitCode = 1;
});
