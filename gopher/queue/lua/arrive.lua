-- Store waiting jobs that have left other queues. A repeat stores nothing twice, even if the jobs have ended and are gone.
--
-- - -> pending, scheduled, retrying
--
-- KEYS  1 prefix
-- ARGV  1 for how many ms moves are remembered  2 a packed list (MessagePack) of jobs: id of the move, id, state, when it is due
--       (ms, '' for at once), number of fields; then the names and values of their fields
-- Returns  how many were stored

local stored, earliest = 0, nil
local at = 3 -- the first argument of the next job's fields

local function store(id, state, due, from, to)
  local record = P .. KEY.job .. id
  for first = from, to, 100 do
    redis.call('HSET', record, unpack(ARGV, first, math.min(first + 99, to)))
  end
  local fields = redis.call('HMGET', record, 'type', 'priority', 'unique', 'owner', 'named', 'tenant', 'unique_left', 'tells')
  local job_type, priority, unique, owner, named, tenant, left = unpack(fields)
  redis.call('HDEL', record, 'parked', 'unique_left')
  if unique and left then
    redis.call('SET', P .. KEY.unique .. unique, id, 'NX', 'PX', math.max(tonumber(left), 1))
  end
  post_step(id, fields[8] or '', '')
  if named then
    redis.call('SET', P .. KEY.named .. id, named, 'PX', NAMED_FOR)
  end
  count_stored(job_type, priority)
  count_owner(owner, 1)
  if IS_TIMED[state] and due > now then
    redis.call('ZADD', P .. state, due, id)
    earliest = math.min(earliest or due, due)
  else
    redis.call('HSET', record, 'state', STATE.pending, 'since', now)
    queue_up(id, priority, tenant)
  end
  stored = stored + 1
end

for _, row in ipairs(cmsgpack.unpack(ARGV[2])) do
  local move, id, state, due, fields = unpack(row)
  local from = at
  at = at + 2 * fields
  if not redis.call('ZSCORE', P .. KEY.imported, move) and redis.call('EXISTS', P .. KEY.job .. id) == 0 then
    store(id, state, tonumber(due) or 0, from, at - 1)
  end
  remember_import(move, ARGV[1])
end
write_arrived(earliest)
return stored
