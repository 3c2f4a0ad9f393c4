-- Latencies are counted into histograms: of each job type, how long jobs waited ('wait') and how long attempts ran ('run').

-- job type -> name -> what was counted: by number of the bucket, `sum` (ms), and `bucket`, where the last one went
local observed = {}

local function bucket_of(ms)
  for i = 1, #BOUNDS do
    if ms <= BOUNDS[i] then
      return i
    end
  end
end

local function observe_first(name, job_type)
  observed[job_type] = observed[job_type] or {}
  local added = { sum = 0, bucket = 1 }
  observed[job_type][name] = added
  return added
end

-- Count `ms` into the histogram `name` of a job type, `times` times, e.g. observe('wait', 'email', 12.5, 1).
local function observe(name, job_type, ms, times)
  local of_type = observed[job_type]
  local added = of_type and of_type[name] or observe_first(name, job_type)
  ms = ms > 0 and ms or 0
  -- The jobs of one call are much alike, so the last bucket is tried first.
  local bucket = added.bucket
  if ms > BOUNDS[bucket] or ms <= (BOUNDS[bucket - 1] or -1) then
    bucket = bucket_of(ms)
    added.bucket = bucket
  end
  added[bucket] = (added[bucket] or 0) + times
  added.sum = added.sum + ms * times
end

local function write_observations()
  for job_type, names in pairs(observed) do
    local key = P .. KEY.latencies .. job_type
    for name, added in pairs(names) do
      for bucket = 1, #BOUNDS do
        if added[bucket] then
          redis.call('HINCRBY', key, name .. ':' .. bucket, added[bucket])
        end
      end
      redis.call('HINCRBY', key, name .. ':sum_us', string.format('%.0f', added.sum * 1000))
    end
  end
end
