-- Count jobs of an owner that begin to wait, or do not wait any more; nothing for a job without a field `owner`, which those
-- have whose submissions are bounded.
local function count_owner(owner, by)
  if owner and redis.call('HINCRBY', P .. KEY.waiting, owner, by) <= 0 then
    redis.call('HDEL', P .. KEY.waiting, owner)
  end
end

-- Find those of a call's jobs that do not fit; `most` and `most_of_owner` are '' for no bound. Returns what to answer for each,
-- which says the bound that it is beyond, by its number; and the same as a list: number, answer, ...
local function find_beyond(jobs, is_one_more, most, owner, most_of_owner)
  -- Nothing is read but lengths and counters: throttled jobs may be in very many lists. (In here it costs other calls nothing.)
  local function waiting_jobs()
    local cancelled = redis.call('HMGET', P .. KEY.tombstones, unpack(PRIORITIES))
    local throttled = redis.call('HMGET', P .. KEY.parked_jobs, unpack(PRIORITIES))
    local of_tenants = redis.call('HMGET', P .. KEY.tenant_ids, unpack(PRIORITIES))
    local total = redis.call('LLEN', P .. KEY.next)
    for i, priority in ipairs(PRIORITIES) do
      local pending = redis.call('LLEN', P .. KEY.pending .. priority) + (tonumber(of_tenants[i]) or 0)
      total = total + pending - (tonumber(cancelled[i]) or 0) + math.max(tonumber(throttled[i]) or 0, 0)
    end
    for _, state in ipairs(TIMED) do
      total = total + redis.call('ZCARD', P .. state)
    end
    return total
  end

  local room, owner_room = math.huge, math.huge
  if most ~= '' then
    room = most - waiting_jobs()
  end
  if most_of_owner ~= '' and owner ~= '' then
    owner_room = most_of_owner - (tonumber(redis.call('HGET', P .. KEY.waiting, owner)) or 0)
    if owner_room < jobs then
      -- Workers of earlier versions start jobs without counting them: no more can be waiting than all.
      owner_room = math.max(owner_room, most_of_owner - waiting_jobs())
    end
  end
  local beyond, refused, uniques = {}, {}, {}
  for number = 1, math.min(room, owner_room) < jobs and jobs or 0 do
    if is_one_more(number, uniques) then
      local answer = room < 1 and 'BEYOND queue' or owner_room < 1 and 'BEYOND owner' or nil
      if answer then
        beyond[number] = answer
        refused[#refused + 1] = number
        refused[#refused + 1] = answer
      end
      room, owner_room = room - 1, owner_room - 1
    end
  end
  return beyond, refused
end
