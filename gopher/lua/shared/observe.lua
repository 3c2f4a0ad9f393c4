-- Upper bounds of the latency buckets, in ms; the last is unbounded.
local BOUNDS = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000, math.huge }
local seen = {} -- job type -> name -> `counts` by number of a bucket, `sum` (ms) and the number of the last one's bucket

local function first_seen(name, job_type)
  seen[job_type] = seen[job_type] or {}
  local added = { counts = {}, sum = 0, last = 1 }
  seen[job_type][name] = added
  return added
end

local function bucket_of(ms)
  for i = 1, #BOUNDS do
    if ms <= BOUNDS[i] then
      return i
    end
  end
end

-- Count `ms` into the histogram `name` of a job type, e.g. observe('wait', 'email', 12.5).
local function observe(name, job_type, ms)
  local of_type = seen[job_type]
  local added = of_type and of_type[name] or first_seen(name, job_type)
  ms = ms > 0 and ms or 0
  -- The jobs of one call are much alike.
  local bucket = added.last
  if ms > BOUNDS[bucket] or ms <= (BOUNDS[bucket - 1] or -1) then
    bucket = bucket_of(ms)
    added.last = bucket
  end
  added.counts[bucket] = (added.counts[bucket] or 0) + 1
  added.sum = added.sum + ms
end

local function write_observations()
  for job_type, names in pairs(seen) do
    local key = P .. 'histogram:' .. job_type
    for name, added in pairs(names) do
      for bucket, by in pairs(added.counts) do
        redis.call('HINCRBY', key, name .. ':' .. bucket, by)
      end
      redis.call('HINCRBY', key, name .. ':sum_us', string.format('%.0f', added.sum * 1000))
    end
  end
end
