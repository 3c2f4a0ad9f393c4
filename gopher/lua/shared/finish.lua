-- End a job: its record stays for `retention` ms, 0 forgets it at once. `...` are fields to set.
local function finish(id, state, retention, ...)
  local record = P .. 'job:' .. id
  retention = tonumber(retention)
  if retention <= 0 then
    redis.call('DEL', record)
    return
  end
  redis.call('HSET', record, 'state', state, 'finished', now, ...)
  redis.call('PEXPIRE', record, retention)
  redis.call('ZADD', P .. 'finished', now, id)
end
