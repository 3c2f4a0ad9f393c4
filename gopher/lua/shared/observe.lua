-- Upper bounds of the latency buckets, in ms; the last is unbounded.
local BOUNDS = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000 }
local seen, names = {}, {}

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
  local of_name = names[name] or { sum = name .. ':sum_us' }
  names[name] = of_name
  local key, sum = of_name[bucket] or name .. ':' .. bucket, of_name.sum
  of_name[bucket] = key
  of_type[key] = (of_type[key] or 0) + 1
  of_type[sum] = (of_type[sum] or 0) + math.floor(ms * 1000 + 0.5)
end

local function write_observations()
  for job_type, fields in pairs(seen) do
    for field, by in pairs(fields) do
      redis.call('HINCRBY', P .. 'histogram:' .. job_type, field, string.format('%.0f', by))
    end
  end
end
