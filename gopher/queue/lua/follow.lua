-- Have jobs, or batches, of this queue tell another one how they end. Those that have ended tell it at once; for those that have
-- moved on, the queue is asked to which they went.
--
-- KEYS  1 prefix
-- ARGV  1 the other queue  2 ms for which one that does not exist may still be stored  then the id of each, and when it was asked
--       for (ms)
-- Returns  the numbers, from 1 on, of those that may still be stored

allow_when_full()
local to, missing = ARGV[1], {}

-- Add the queue to those that are told.
local function tell(id, known)
  if not string.find(',' .. (known or '') .. ',', ',parent ' .. to .. ',', 1, true) then
    set_extra(id, 'tells', known and known .. ',parent ' .. to or 'parent ' .. to)
  end
end

local function follow_job(id, state, known)
  if ENDED[state] then
    post_end_of_parent(to, id, state)
  else
    tell(id, known)
  end
end

local function follow_batch(id)
  local record = P .. KEY.batch .. id
  local state = end_of_batch(record)
  local known = redis.call('HGET', record, 'followers')
  if state then
    post(to, 'parent', '', id, state, 0, now, '', 0)
  elseif not string.find(',' .. (known or '') .. ',', ',' .. to .. ',', 1, true) then
    redis.call('HSET', record, 'followers', known and known .. ',' .. to or to)
  end
end

for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local fields = read_record(id, 'state', 'tells')
  if fields[1] then
    follow_job(id, fields[1], fields[2] or nil)
  elseif redis.call('HEXISTS', P .. KEY.batch .. id, 'created') == 1 then
    follow_batch(id)
  elseif redis.call('EXISTS', P .. KEY.moved .. id) == 1 then
    post(redis.call('GET', P .. KEY.moved .. id), 'follow', id, '', STATE.pending, 0, tonumber(ARGV[i + 1]), to)
  elseif now - ARGV[i + 1] < tonumber(ARGV[2]) then
    missing[#missing + 1] = (i - 1) / 2
  else
    post(to, 'parent', '', id, DELETED, 0, now, '', 0)
  end
end
return missing
