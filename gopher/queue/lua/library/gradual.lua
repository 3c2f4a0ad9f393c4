-- Operations that schedulers continue: gradual redrives and cancellations. A sorted set holds when to continue each; those
-- that have ended have the score OVER until their record expires.
local OVER = 8640000000000000 -- ms
local OVER_KEPT = 86400000 -- ms

-- `index` is the sorted set, `record` the key of the operation's record.
local function end_operation(index, record, id, state, reason)
  redis.call('ZADD', P .. index, OVER, id)
  redis.call('HSET', record, 'state', state, 'reason', reason, 'finished', now)
  redis.call('PEXPIRE', record, OVER_KEPT)
end

-- Returns STOPPED, MISSING, or the state that it had ended in before.
local function stop_operation(index, record, id)
  local fields = redis.call('HMGET', record, 'state', 'finished')
  if not fields[1] then
    return 'MISSING'
  elseif fields[2] then
    return fields[1]
  end
  end_operation(index, record, id, 'stopped', 'by an operator')
  return 'STOPPED'
end

-- Return the ids of operations to continue now, the one that is overdue for longest first.
local function operations_due(index)
  return redis.call('ZRANGEBYSCORE', P .. index, '-inf', now, 'LIMIT', 0, 10)
end

-- Return when the next one is to be continued (ms), '' for never.
local function next_operation(index)
  local head = redis.call('ZRANGE', P .. index, 0, 0, 'WITHSCORES')
  return head[2] and tonumber(head[2]) < OVER and head[2] or ''
end

-- Have those leave the index whose record has expired.
local function forget_operations(index, head, limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. index, OVER, '+inf', 'LIMIT', 0, limit)) do
    if redis.call('EXISTS', P .. head .. id) == 0 then
      redis.call('ZREM', P .. index, id)
    end
  end
end
