-- Announce jobs to their batch before they are stored. A job that was announced before changes nothing, unless it was taken out
-- since.
--
-- KEYS  1 prefix
-- ARGV  1 id of the batch  2 a packed list (MessagePack) of the jobs: id, queue, type, ...
-- Returns  OK and the numbers, from 1 on, of those that were announced before; MISSING; or SEALED when the batch takes no more
--       jobs

local id, jobs = ARGV[1], P .. KEY.batch_jobs .. ARGV[1]
local fields = redis.call('HMGET', P .. KEY.batch .. id, 'created', 'sealed_at')
if not fields[1] then
  return { 'MISSING' }
end
local rows, reply, left = cmsgpack.unpack(ARGV[2]), { 'OK' }, {}
for i = 1, #rows, 3 do
  local known = redis.call('HGET', jobs, rows[i])
  left[i] = known and string.match(known, '^%S+') == UNSTORED
  if known and not left[i] then
    reply[#reply + 1] = (i + 2) / 3
  elseif fields[2] then
    return { 'SEALED' }
  end
end
for i = 1, #rows, 3 do
  local row = table.concat({ STATE.pending, 0, rows[i + 1], rows[i + 2] }, ' ')
  if left[i] then
    redis.call('HDEL', jobs, rows[i])
    count_batch(id, UNSTORED, rows[i + 2], -1)
  end
  if redis.call('HSETNX', jobs, rows[i], row) == 1 then
    count_batch(id, STATE.pending, rows[i + 2], 1)
  end
end
write_batches()
return reply
