-- Upper bounds of the latency buckets, in ms; the last is unbounded.
local BOUNDS = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000 }
local seen = {} -- job type -> name -> number of a bucket, or 'sum_us' -> how much is to be added

-- Count `ms` into the histogram `name` of a job type, e.g. observe('wait', 'email', 12.5).
local function observe(name, job_type, ms)
  ms = ms > 0 and ms or 0
  local bucket = #BOUNDS + 1
  for i = 1, #BOUNDS do
    if ms <= BOUNDS[i] then
      bucket = i
      break
    end
  end
  local of_type = seen[job_type] or {}
  seen[job_type] = of_type
  local added = of_type[name] or { sum_us = 0 }
  of_type[name] = added
  added[bucket] = (added[bucket] or 0) + 1
  added.sum_us = added.sum_us + math.floor(ms * 1000 + 0.5)
end

local function write_observations()
  for job_type, names in pairs(seen) do
    for name, added in pairs(names) do
      for field, by in pairs(added) do
        redis.call('HINCRBY', P .. 'histogram:' .. job_type, name .. ':' .. field, string.format('%.0f', by))
      end
    end
  end
end
