// BullMQ: two processes of one worker each, BENCH_CONCURRENCY jobs at once in each.
import { fork } from "node:child_process";
import { appendFileSync, openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// The package is in the environment created by the harness, not beside this file.
const { Queue, Worker } = createRequire(`${process.env.BENCH_NODE_MODULES}/`)("bullmq");
const connection = { host: "127.0.0.1", port: Number(process.env.BENCH_PORT) };
const folder = process.env.BENCH_FOLDER;
const payload = { x: "y".repeat(92) };
const options = { removeOnComplete: true, removeOnFail: true };
const now = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));

function work() {
  const file = openSync(`${folder}/count-${process.pid}`, "w+");
  const count = Buffer.alloc(8);
  let done = 0;
  writeSync(file, count, 0, 8, 0);
  // Written a hundred times a second: a job need not pay for a system call.
  setInterval(() => { count.writeBigInt64LE(BigInt(done)); writeSync(file, count, 0, 8, 0); }, 10);
  new Worker("bench", async (job) => {
    if (job.name === "stamp") appendFileSync(`${folder}/stamps`, `${now() - BigInt(job.data.sent)}\n`);
    if (job.name !== "warm") done += 1;
  }, { connection, concurrency: Number(process.env.BENCH_VARIANT || 50) });
}

async function send() {
  const queue = new Queue("bench", { connection, defaultJobOptions: options });
  await queue.add("warm", payload);
  for await (const line of createInterface({ input: process.stdin })) {
    const [job, count, how] = line.split(" ");
    const total = Number(count);
    const began = performance.now();
    if (how === "many") {
      for (let at = 0; at < total; at += 1000) {
        const size = Math.min(1000, total - at);
        await queue.addBulk(Array.from({ length: size }, () => ({ name: job, data: payload })));
      }
    } else {
      for (let at = 0; at < total; at += 1) await queue.add(job, payload);
    }
    console.log((performance.now() - began) / 1000);
  }
  await queue.close();
}

async function trickle(total, pause) {
  const queue = new Queue("bench", { connection, defaultJobOptions: options });
  for (let at = 0; at < total; at += 1) {
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    await queue.add("stamp", { sent: now().toString() });
  }
  await queue.close();
}

const [verb, ...rest] = process.argv.slice(2);
if (verb === "worker") {
  const other = fork(process.argv[1], ["one"]);
  process.on("SIGTERM", () => { other.kill("SIGKILL"); process.exit(0); });
  work();
} else if (verb === "one") work();
else if (verb === "send") await send();
else if (verb === "trickle") await trickle(Number(rest[0]), Number(rest[1]));
