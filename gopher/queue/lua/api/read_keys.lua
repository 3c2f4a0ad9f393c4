-- Read a hash of records, such as the API keys, unless the caller has read them since they were last changed.
--
-- KEYS  1 the hash
-- ARGV  1 the version that the caller has read, '-' for none
-- Returns  now (ms), the version ('' when there has never been a record), and, if it is another one, all fields and values
local version = redis.call('HGET', KEYS[1], 'version') or ''
local reply = { now, version }
if version ~= ARGV[1] then
  reply[3] = redis.call('HGETALL', KEYS[1])
end
return reply
