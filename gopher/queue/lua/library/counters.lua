local counts = {}

local function count(field, by)
  counts[field] = (counts[field] or 0) + by
end

-- Write what was counted: one command a field, however many jobs the call moved.
local function write_counts()
  for field, by in pairs(counts) do
    redis.call('HINCRBY', P .. KEY.totals, field, by)
  end
end
