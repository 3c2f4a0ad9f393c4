-- Wake a sleeping scheduler.
local function ring(due)
  redis.call('LPUSH', P .. 'alarm', due)
  redis.call('LTRIM', P .. 'alarm', 0, 0)
end

-- Wake it when something is due earlier than all that it knows of.
local function alarm(state, due)
  local head = redis.call('ZRANGE', P .. state, 0, 0, 'WITHSCORES')
  if head[2] and tonumber(head[2]) >= due then
    ring(due)
  end
end
