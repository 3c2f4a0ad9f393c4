-- Find where in a list of pending jobs, the newest at its left end, those begin that have waited since a time or
-- longer.
--
-- KEYS  1 prefix
-- ARGV  1 the list, such as pending:high  2 time (ms)
-- Returns  the index of the first of them; the list's length when there is none

local list, longest = P .. ARGV[1], tonumber(ARGV[2])
local PROBE = 10 -- neighbours that one probe reads: a cancelled job's record may be gone

local function since_at(index)
  for _, id in ipairs(redis.call('LRANGE', list, index, index + PROBE - 1)) do
    local text = redis.pcall('HGET', P .. KEY.job .. id, 'since')
    local since = type(text) == 'string' and tonumber(text)
    -- One that is corrupt says nothing of where it is; NaN is not within any bounds.
    if since and since >= 0 and since < 2 ^ 53 then
      return since
    end
  end
end

local low, high = 0, redis.call('LLEN', list)
while low < high do
  local middle = math.floor((low + high) / 2)
  local since = since_at(middle)
  if since and since > longest then
    low = middle + 1
  else
    high = middle
  end
end
return low
