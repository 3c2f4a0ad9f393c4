-- Find where in a list of pending jobs, the newest at its left end, those begin that have waited since a time or
-- longer.
--
-- KEYS  1 prefix
-- ARGV  1 the list, such as pending:high  2 time (ms)
-- Returns  the index of the first of them; the list's length when there is none
-- uses: base
local list, time = P .. ARGV[1], tonumber(ARGV[2])
local PROBE = 10 -- neighbours that one probe looks at: a cancelled job's record may be gone

local function since_at(index)
  for _, id in ipairs(redis.call('LRANGE', list, index, index + PROBE - 1)) do
    local since = redis.pcall('HGET', P .. 'job:' .. id, 'since')
    local time_of = type(since) == 'string' and tonumber(since)
    -- One that is corrupt says nothing of where it stands; NaN is not within any bounds.
    if time_of and time_of >= 0 and time_of < 2 ^ 53 then
      return time_of
    end
  end
end

local low, high = 0, redis.call('LLEN', list)
while low < high do
  local middle = math.floor((low + high) / 2)
  local since = since_at(middle)
  if since and since > time then
    low = middle + 1
  else
    high = middle
  end
end
return low
