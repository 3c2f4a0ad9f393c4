-- Free memory: remove records of finished jobs before their time, the oldest first. Completed jobs whose results a
-- waiting or running job will read stay, and so do the canaries of a redrive.
--
-- finished -> -
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 place in the index to look from  3 remove those that ended at this time or before (ms)
--       4 ms for which a record is kept in any case
-- Returns  how many records were removed, about how many bytes that freed, the place to look from next time, how many
--       records stay only because their jobs have just ended
-- uses: base clock redrives over
local limit, place, keep_for = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local finished = P .. 'finished'
local SAMPLE = 20 -- of this many records the size of one is asked for, with all of its fields
local to_check = 2000 -- children that one call looks at
-- No write of this script needs memory before one has freed some: a full server refuses none of them.
open_when_full()

local canaries = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'redrives', '-inf', '(' .. string.format('%.0f', OVER), 'LIMIT', 0, 100)) do
  local fields = redis.call('HMGET', P .. 'redrive:' .. id, 'state', 'canaries')
  for canary in string.gmatch(fields[1] ~= 'running' and fields[2] or '', '[^,]+') do
    canaries[canary] = true
  end
end

-- Return whether one of the jobs (ids, joined by commas) that waited for this one has not ended, as far as this call
-- may look. Those in front that have are left out next time, so that the end is reached however many there are.
local function is_awaited(id, ids)
  local at = 1
  while at <= #ids do
    local comma = string.find(ids, ',', at, true) or #ids + 1
    if to_check <= 0 or not is_over(string.sub(ids, at, comma - 1)) then
      if at > 1 then
        redis.call('HSET', P .. 'job:' .. id, 'readers', string.sub(ids, at))
      end
      return true
    end
    to_check = to_check - 1
    at = comma + 1
  end
  return false
end

local function must_stay(id)
  if canaries[id] then
    return true
  end
  local readers = redis.pcall('HGET', P .. 'job:' .. id, 'readers')
  if type(readers) == 'table' then
    -- Not a record any more: it is for `doctor` to tell of.
    return true
  end
  return readers and is_awaited(id, readers)
end

local removed, bytes, sampled, sampled_bytes, last = 0, 0, 0, 0, nil

local function remove(id)
  local record = P .. 'job:' .. id
  if removed % SAMPLE == 0 then
    local size = redis.pcall('MEMORY', 'USAGE', record, 'SAMPLES', 0)
    if type(size) == 'number' then
      sampled, sampled_bytes = sampled + 1, sampled_bytes + size
    end
  end
  removed = removed + redis.call('DEL', record)
end

local newest = string.format('%.0f', math.min(tonumber(ARGV[3]), now - keep_for))
local rows = redis.call('ZRANGEBYSCORE', finished, '-inf', newest, 'WITHSCORES', 'LIMIT', place, limit)
local gone = {}
for i = 1, #rows, 2 do
  if not must_stay(rows[i]) then
    remove(rows[i])
    gone[#gone + 1], last = rows[i], rows[i + 1]
  end
end
for at = 1, #gone, 1000 do
  redis.call('ZREM', finished, unpack(gone, at, math.min(at + 999, #gone)))
end
if removed > 0 then
  redis.call('HINCRBY', P .. 'totals', 'evicted', removed)
  redis.call('HSET', P .. 'evicted', 'at', now)
  if (tonumber(redis.call('HGET', P .. 'evicted', 'until')) or 0) < tonumber(last) then
    redis.call('HSET', P .. 'evicted', 'until', last)
  end
end
bytes = sampled > 0 and math.floor(sampled_bytes / sampled * removed) or 0
local young = redis.call('ZCOUNT', finished, string.format('(%.0f', now - keep_for), '+inf')
return { removed, bytes, place + #rows / 2 - #gone, young }
