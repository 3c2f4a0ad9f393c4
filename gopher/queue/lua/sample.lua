-- Record the values of the counters, for plots over time: once per step of each series, by the first caller.
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

-- Read the latency buckets of a type by name of the histogram, with what earlier versions have counted. After the buckets
-- is the sum, in microseconds.
local function read_latencies(job_type)
  local read = {}
  for _, name in ipairs(HISTOGRAMS) do
    read[name] = {}
  end
  for head, lacks in pairs({ [KEY.latencies] = 0, [KEY.histogram] = ADDED }) do
    local flat = redis.call('HGETALL', P .. head .. job_type)
    for i = 1, #flat, 2 do
      local name, number = string.match(flat[i], '^(%a+):([%w_]+)')
      local place = number == 'sum_us' and #BOUNDS + 1 or (tonumber(number) or 0) + lacks
      local of_name = read[name]
      if of_name and place <= #BOUNDS + 1 then
        of_name[place] = (of_name[place] or 0) + tonumber(flat[i + 1])
      end
    end
  end
  return read
end

-- As little as most types need: place, count, place, count, ...
local function packed_sparsely(buckets)
  local flat = {}
  for place = 1, #BOUNDS + 1 do
    if buckets[place] then
      flat[#flat + 1], flat[#flat + 2] = place, buckets[place]
    end
  end
  return flat
end

-- Add up the latencies of the types in the sample, and store those of the listed ones. Earlier versions know neither the
-- buckets `below` their first one, in which they are included, nor the latencies of types.
local function add_latencies(sample, types)
  sample.below, sample.latencies = {}, {}
  for _, name in ipairs(HISTOGRAMS) do
    local zeros = {}
    for place = 1, #BOUNDS + 1 - ADDED do
      zeros[place] = 0
    end
    sample[name], sample.below[name] = zeros, {}
    for place = 1, ADDED do
      sample.below[name][place] = 0
    end
  end
  for i = 1, math.min(#types, TYPES) do
    local listed = {}
    for name, buckets in pairs(read_latencies(types[i])) do
      local sums, below = sample[name], sample.below[name]
      for place, number in pairs(buckets) do
        local own = math.max(place - ADDED, 1)
        sums[own] = sums[own] + number
        if place <= ADDED then
          below[place] = below[place] + number
        end
      end
      listed[name] = packed_sparsely(buckets)
    end
    if i <= LISTED then
      sample.latencies[types[i]] = listed
    end
  end
end

local function length(list)
  return redis.call('LLEN', P .. list)
end

local MANY = 20 -- buckets: of more, the lists of throttled jobs are not looked at

local function count_throttled(priority)
  local sum, buckets = 0, redis.call('ZRANGE', P .. KEY.throttled, 0, MANY)
  if #buckets > MANY then
    return math.max(tonumber(redis.call('HGET', P .. KEY.parked_jobs, priority)) or 0, 0)
  end
  for _, bucket in ipairs(buckets) do
    sum = sum + length(KEY.parked .. bucket .. ':' .. priority)
  end
  return sum
end

local function count_waiting()
  local sum = length(KEY.next)
  for _, priority in ipairs(PRIORITIES) do
    local cancelled = tonumber(redis.call('HGET', P .. KEY.tombstones, priority)) or 0
    local of_tenants = tonumber(redis.call('HGET', P .. KEY.tenant_ids, priority)) or 0
    sum = sum + length(KEY.pending .. priority) + of_tenants - cancelled + count_throttled(priority)
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
  local sample = { at = now, counted = counted, types = listed }
  add_latencies(sample, types)
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
