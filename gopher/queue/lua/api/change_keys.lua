-- Add, replace and remove API keys, all or none.
--
-- KEYS  1 the hash of API keys
-- ARGV  1 maximum number of keys  then of each key: SHA-256 of its secret, its record as the caller has read it ('' for
--       none), its new record ('' for none)
-- Returns  OK, also for a repeat; CHANGED when a record is another one by now; FULL when there would be too many
local added, repeats = 0, 0
for i = 2, #ARGV, 3 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if stored == ARGV[i + 2] then
    repeats = repeats + 1
  elseif stored ~= ARGV[i + 1] then
    return 'CHANGED'
  elseif stored == '' then
    added = added + 1
  end
end
if repeats == (#ARGV - 1) / 3 then
  return 'OK'
end
local kept = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  kept = kept + (#field == 64 and 1 or 0)
end
if added > 0 and kept + added > tonumber(ARGV[1]) then
  return 'FULL'
end
for i = 2, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i], 'used:' .. ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
redis.call('HSET', KEYS[1], 'version', clock[1] .. '.' .. clock[2])
return 'OK'
