-- Schedulers sleep until the next due time that they know of, blocked on a list: what is pushed there wakes one.

local function wake_scheduler(due)
  redis.call('LPUSH', P .. KEY.alarm, due)
  redis.call('LTRIM', P .. KEY.alarm, 0, 0)
end

-- Wake it if `due` comes before everything else in a sorted set of due times.
local function wake_scheduler_if_first(key, due)
  local head = redis.call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
  if head[2] and tonumber(head[2]) >= due then
    wake_scheduler(due)
  end
end
