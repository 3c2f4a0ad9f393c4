-- Set fields that few jobs have. A record says `plain` for as long as it has none of them (expires, retention, unique,
-- bucket, parents, children, parked, holds, cancel): then nobody looks for them, which is a third of what is read of it.
local function set_rare(id, ...)
  redis.call('HSET', P .. 'job:' .. id, ...)
  redis.call('HDEL', P .. 'job:' .. id, 'plain')
end
