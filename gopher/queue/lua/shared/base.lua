-- P is the prefix of every key of the queue; it carries the hash tag, so that all of them share a slot.
local P = KEYS[1]

-- The server holds maxmemory against the first write of a script only. This one frees memory as
-- far as it can tell, so that jobs which are already stored go on moving when it is full.
local function open_when_full()
  redis.call('ZREM', P .. 'retrying', '')
end

local SET_ASIDE = 1000 -- ids kept of records that were corrupted

local function set_aside(id)
  if redis.call('SCARD', P .. 'corrupt') < SET_ASIDE then
    redis.call('SADD', P .. 'corrupt', id)
  end
end

-- Read fields of a job's record. Where that is no hash any more, all of them are nil, and its id is set aside: no
-- other job shall have to wait behind it. Returns the fields, and whether it was so.
local function read(id, ...)
  local fields = redis.pcall('HMGET', P .. 'job:' .. id, ...)
  if not fields.err then
    return fields, false
  end
  set_aside(id)
  return {}, true
end

local counts = {}

local function count(field, by)
  counts[field] = (counts[field] or 0) + by
end

-- Add up what was counted: one write a field, however many jobs the call moved.
local function write_counts()
  for field, by in pairs(counts) do
    redis.call('HINCRBY', P .. 'totals', field, by)
  end
end
