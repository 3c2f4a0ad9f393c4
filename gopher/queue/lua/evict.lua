-- Free memory: remove records of finished jobs before their time, the oldest first. Completed jobs whose results a
-- waiting or running job will read are kept, and so are the canaries of a redrive.
--
-- finished -> -
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 place in the index to start from  3 remove those that ended at this time or before (ms)
--       4 ms for which a record is kept in any case
-- Returns  how many records were removed, about how many bytes that freed, the place to start from next time, how many
--       records are kept only because their jobs have just ended

local limit, place, keep_for = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local finished = P .. KEY.finished
local SAMPLE = 20 -- of this many records one is measured, with all of its fields
local checks_left = 2000 -- readers that one call checks
-- No write of this script needs memory before one has freed some: a full server refuses none of them.
allow_when_full()

local canaries = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. KEY.redrives, '-inf', '(' .. string.format('%.0f', OVER), 'LIMIT', 0, 100)) do
  local fields = redis.call('HMGET', P .. KEY.redrive .. id, 'state', 'canaries')
  for canary in string.gmatch(fields[1] ~= 'running' and fields[2] or '', '[^,]+') do
    canaries[canary] = true
  end
end

-- Return the place of the first of some jobs that has not ended, as far as this call may check; nil if all have.
local function first_unended(ids)
  for at, reader in ipairs(ids) do
    if checks_left <= 0 or not has_ended(reader) then
      return at
    end
    checks_left = checks_left - 1
  end
end

-- Return whether a job that will read the result of this one has not ended, as far as this call may check. Those in front
-- that have are left out next time, so that the end is reached however many there are.
local function is_awaited_by_list(id)
  local key = P .. KEY.readers .. id
  local ids = redis.call('LRANGE', key, 0, checks_left)
  local at = first_unended(ids)
  redis.call('LTRIM', key, (at or #ids + 1) - 1, -1)
  return at
end

-- The same for readers that an earlier version has put into the record (ids, joined by commas).
local function is_awaited_by(id, named)
  local ids = split(named)
  local at = first_unended(ids)
  if at and at > 1 then
    redis.call('HSET', P .. KEY.job .. id, 'readers', table.concat(ids, ',', at))
  end
  return at
end

local function must_be_kept(id)
  if canaries[id] then
    return true
  end
  local readers = redis.pcall('HGET', P .. KEY.job .. id, 'readers')
  if type(readers) == 'table' then
    -- Not a record any more: `doctor` reports it.
    return true
  end
  if readers == IN_LIST then
    return is_awaited_by_list(id)
  end
  return readers and is_awaited_by(id, readers)
end

local removed, bytes, sampled, sampled_bytes, last = 0, 0, 0, 0, nil

local function remove(id)
  local record = P .. KEY.job .. id
  if removed % SAMPLE == 0 then
    local size = redis.pcall('MEMORY', 'USAGE', record, 'SAMPLES', 0)
    if type(size) == 'number' then
      sampled, sampled_bytes = sampled + 1, sampled_bytes + size
    end
  end
  removed = removed + redis.call('DEL', record)
end

local newest = string.format('%.0f', math.min(tonumber(ARGV[3]), now - keep_for))
local found = redis.call('ZRANGEBYSCORE', finished, '-inf', newest, 'WITHSCORES', 'LIMIT', place, limit)
local gone = {}
for i = 1, #found, 2 do
  if not must_be_kept(found[i]) then
    remove(found[i])
    gone[#gone + 1], last = found[i], found[i + 1]
  end
end
for at = 1, #gone, 1000 do
  redis.call('ZREM', finished, unpack(gone, at, math.min(at + 999, #gone)))
end
if removed > 0 then
  redis.call('HINCRBY', P .. KEY.totals, COUNTER.evicted, removed)
  redis.call('HSET', P .. KEY.evicted, 'at', now)
  if (tonumber(redis.call('HGET', P .. KEY.evicted, 'until')) or 0) < tonumber(last) then
    redis.call('HSET', P .. KEY.evicted, 'until', last)
  end
end
bytes = sampled > 0 and math.floor(sampled_bytes / sampled * removed) or 0
local young = redis.call('ZCOUNT', finished, string.format('(%.0f', now - keep_for), '+inf')
return { removed, bytes, place + #found / 2 - #gone, young }
