-- Release jobs whose time has come, the earliest first, and those whose parents have ended.
--
-- scheduled, retrying, throttled -> pending
--
-- KEYS  1 prefix
-- ARGV  1 limit for each state
-- Returns  how many, when the next one is due (ms, '' for never), now

allow_when_full()
find_forgotten_children()
find_forgotten_tenants()
local promoted, next_due = release_throttled() + notify_remaining_children(), nil

for _, state in ipairs(TIMED) do
  local waiting = P .. state
  local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
  for i = 1, #due, 2 do
    local id = due[i]
    local fields = read_record(id, 'priority', 'tenant')
    if fields[1] then
      push_pending('LPUSH', id, fields[1], fields[2])
      redis.call('HSET', P .. KEY.job .. id, 'state', STATE.pending, 'since', due[i + 1])
      promoted = promoted + 1
    end
    redis.call('ZREM', waiting, id)
  end
end

for _, key in ipairs({ P .. KEY.throttled, EVERY.timed }) do
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] and (not next_due or tonumber(head[2]) < next_due) then
    next_due = tonumber(head[2])
  end
end

if redis.call('EXISTS', P .. KEY.telling) == 1 then
  next_due = now
end

if promoted > 0 then
  ensure_next()
end
write_counts()
return { promoted, next_due or '', now }
