-- Note the values of the counters, for plots over time: once a step of each series, whoever calls first.
--
-- KEYS  1 prefix
-- ARGV  for each series: step in ms, how many samples are kept
-- Returns  how many samples were taken, now

local TYPES = 200 -- whose latencies are added up
local LISTED = 50 -- types that a sample has figures of their own for
allow_when_full()

-- Read the counters by event, and of each type those that are counted by type.
local function read_totals(into)
  local flat = redis.call('HGETALL', P .. KEY.totals)
  local by_type, types = {}, {}
  for i = 1, #flat, 2 do
    local event, job_type = string.match(flat[i], '^([^:]+):?([^:]*)')
    local number = tonumber(flat[i + 1])
    into[event] = (into[event] or 0) + number
    if job_type ~= '' and BY_TYPE[event] then
      if not by_type[job_type] then
        by_type[job_type] = {}
        types[#types + 1] = job_type
      end
      by_type[job_type][event] = (by_type[job_type][event] or 0) + number
    end
  end
  table.sort(types, function(a, b)
    return (by_type[a].enqueued or 0) > (by_type[b].enqueued or 0)
      or (by_type[a].enqueued or 0) == (by_type[b].enqueued or 0) and a < b
  end)
  return by_type, types
end

-- Add up the latency buckets of the types, by name of the histogram.
local function read_latencies(types)
  local sums = {}
  for _, name in ipairs(HISTOGRAMS) do
    sums[name] = {}
    for i = 1, #BOUNDS + 1 do
      sums[name][i] = 0
    end
  end
  for i = 1, math.min(#types, TYPES) do
    local flat = redis.call('HGETALL', P .. KEY.histogram .. types[i])
    for j = 1, #flat, 2 do
      local name, number = string.match(flat[j], '^(%a+):([%w_]+)')
      -- The last one is the sum, in microseconds.
      local place = number == 'sum_us' and #BOUNDS + 1 or tonumber(number)
      sums[name][place] = sums[name][place] + tonumber(flat[j + 1])
    end
  end
  return sums
end

local function length(list)
  return redis.call('LLEN', P .. list)
end

local function count_waiting()
  local sum = length(KEY.next)
  for _, priority in ipairs(PRIORITIES) do
    local cancelled = tonumber(redis.call('HGET', P .. KEY.tombstones, priority)) or 0
    sum = sum + length(KEY.pending .. priority) - cancelled
    for _, bucket in ipairs(redis.call('ZRANGE', P .. KEY.throttled, 0, 99)) do
      sum = sum + length(KEY.parked .. bucket .. ':' .. priority)
    end
  end
  return math.max(sum, 0)
end

local function count_running()
  local sum = 0
  for _, worker in ipairs(redis.call('ZRANGE', P .. KEY.workers, 0, -1)) do
    sum = sum + length(KEY.processing .. worker)
  end
  return sum
end

local function take_sample()
  local counted = {}
  local by_type, types = read_totals(counted)
  local listed = {}
  for i = 1, math.min(#types, LISTED) do
    listed[types[i]] = by_type[types[i]]
  end
  local sample = read_latencies(types)
  sample.at, sample.counted, sample.types = now, counted, listed
  sample.waiting, sample.running = count_waiting(), count_running()
  for _, state in ipairs(SORTED) do
    sample[state] = redis.call('ZCARD', P .. state)
  end
  return cmsgpack.pack(sample)
end

local taken, sample = 0, nil
for i = 1, #ARGV, 2 do
  local step, kept = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local series, slot = P .. KEY.timeline .. ARGV[i], math.floor(now / step) * step
  local last = redis.call('ZREVRANGE', series, 0, 0, 'WITHSCORES')
  -- After a clock that was set back, too.
  if not last[2] or tonumber(last[2]) < slot or tonumber(last[2]) > now + step then
    sample = sample or take_sample()
    redis.call('ZREMRANGEBYSCORE', series, slot, '+inf')
    redis.call('ZADD', series, slot, sample)
    redis.call('ZREMRANGEBYRANK', series, 0, -kept - 1)
    taken = taken + 1
  end
end
return { taken, now }
