-- Every change of a schedule gives it a version: when it was changed (ms), or one more than before if that is not later.
-- `removed` remembers the version of one that was deleted here, or has moved to another queue, for an hour: a move that
-- was decided before must not bring it back.
local REMOVED_KEPT = 3600000

local function schedule_version(name)
  local known, removed = redis.call('HGET', P .. KEY.versions, name), redis.call('ZSCORE', P .. KEY.removed, name)
  return math.max(tonumber(known) or 0, tonumber(removed) or 0)
end

-- The version as callers compare it. The digest is of the definition, since earlier versions of Gopher change that alone.
local function schedule_tag(name, definition)
  if not definition then
    return ''
  end
  local version = tonumber(redis.call('HGET', P .. KEY.versions, name)) or 0
  return string.format('%.0f-%s', version, string.sub(redis.sha1hex(definition), 1, 12))
end

local function remove_schedule(name)
  local version = schedule_version(name)
  redis.call('ZREM', P .. KEY.ticks, name)
  redis.call('HDEL', P .. KEY.last, name)
  redis.call('HDEL', P .. KEY.schedules, name)
  redis.call('HDEL', P .. KEY.versions, name)
  redis.call('ZREMRANGEBYSCORE', P .. KEY.removed, '-inf', now - REMOVED_KEPT)
  redis.call('ZADD', P .. KEY.removed, string.format('%.0f', version), name)
end
