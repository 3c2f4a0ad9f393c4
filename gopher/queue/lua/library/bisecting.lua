local PROBE = 10 -- adjacent ids that one probe reads: a cancelled job's record may be gone

local function since_at(list, index)
  for _, id in ipairs(redis.call('LRANGE', list, index, index + PROBE - 1)) do
    local text = redis.pcall('HGET', P .. KEY.job .. id, 'since')
    local since = type(text) == 'string' and tonumber(text)
    -- A corrupt record does not show where it is; NaN is not within any bounds.
    if since and since >= 0 and since < 2 ^ 53 then
      return since
    end
  end
end

-- Return the index of the first of the jobs in a pending list that have waited since a time or longer; the list's length
-- when there is none.
local function first_since(list, longest)
  local low, high = 0, redis.call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local since = since_at(list, middle)
    if since and since > longest then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
