-- Gradual redrives of dead letters. `redrives` says when to continue each; those that have ended have the score OVER until
-- their record expires.
local OVER = 8640000000000000 -- ms
local OVER_KEPT = 86400000 -- ms

local function end_redrive(id, state, reason)
  local record = P .. KEY.redrive .. id
  redis.call('ZADD', P .. KEY.redrives, OVER, id)
  redis.call('HSET', record, 'state', state, 'reason', reason, 'finished', now)
  redis.call('PEXPIRE', record, OVER_KEPT)
end
