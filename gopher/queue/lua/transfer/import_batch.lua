-- Import a batch of an export, or more of its jobs. They are counted here, and only once. What exists is kept.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 when it was sealed (ms) with its last jobs, else ''  3 a packed list (MessagePack) of fields of its record and
--       their values  4 a packed list of ids of jobs, each with its state, round, queue and type as one text
-- Returns  how many of these jobs are new

local id, record, jobs = ARGV[1], P .. KEY.batch .. ARGV[1], P .. KEY.batch_jobs .. ARGV[1]
local fields, rows, added = cmsgpack.unpack(ARGV[3]), cmsgpack.unpack(ARGV[4]), 0
for i = 1, #fields, 2 do
  redis.call('HSETNX', record, fields[i], fields[i + 1])
end
redis.call('HSETNX', record, 'created', now)
redis.call('ZADD', P .. KEY.batches, 'NX', redis.call('HGET', record, 'created'), id)
for i = 1, #rows, 2 do
  -- Without the number of its last step: here it has taken none.
  local row, state, job_type = string.match(rows[i + 1], '^((%S+) %d+ %S+ (%S+))')
  if state and redis.call('HSETNX', jobs, rows[i], row) == 1 then
    count_batch(id, state, job_type, 1)
    added = added + 1
  end
end
if ARGV[2] ~= '' then
  redis.call('HSETNX', record, 'sealed_at', ARGV[2])
end
write_batches()
if ARGV[2] ~= '' then
  check_batch(id)
end
return added
