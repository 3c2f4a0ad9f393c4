-- Let jobs go whose time has come, the earliest first, and those whose parents have ended.
--
-- scheduled, retrying, throttled -> pending
--
-- KEYS  1 prefix
-- ARGV  1 limit for each of the two
-- Returns  how many, when the next one is due (ms, '' for never), now
-- uses: base clock alarm arm rare limits dead ended
local next_due
open_when_full()
local promoted = unpark_due() + tell_more()

for _, state in ipairs({ 'scheduled', 'retrying' }) do
  local waiting = P .. state
  local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
  for i = 1, #due, 2 do
    local id = due[i]
    local priority = read(id, 'priority')[1]
    if priority then
      redis.call('LPUSH', P .. 'pending:' .. priority, id)
      redis.call('HSET', P .. 'job:' .. id, 'state', 'pending', 'since', due[i + 1])
      promoted = promoted + 1
    end
    redis.call('ZREM', waiting, id)
  end
end

for _, waiting in ipairs({ 'scheduled', 'retrying', 'throttled' }) do
  local head = redis.call('ZRANGE', P .. waiting, 0, 0, 'WITHSCORES')
  if head[2] and (not next_due or tonumber(head[2]) < next_due) then
    next_due = tonumber(head[2])
  end
end

if redis.call('EXISTS', P .. 'telling') == 1 then
  next_due = now
end

if promoted > 0 then
  arm()
end
write_counts()
return { promoted, next_due or '', now }
