-- Dead letters that are retried by and by. `redrives` says when to look at each again; those that are over
-- stand at OVER until their record has run out.
local OVER = 8640000000000000 -- ms
local OVER_KEPT = 86400000 -- ms

local function end_redrive(id, state, reason)
  local record = P .. 'redrive:' .. id
  redis.call('ZADD', P .. 'redrives', OVER, id)
  redis.call('HSET', record, 'state', state, 'reason', reason, 'finished', now)
  redis.call('PEXPIRE', record, OVER_KEPT)
end
