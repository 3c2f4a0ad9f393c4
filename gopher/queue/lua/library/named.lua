-- Jobs whose ids their submitters have chosen: a repeat is the same job.
local NAMED_FOR = 86400000 -- ms for which one is remembered, even if it has ended and is gone

-- Return what is known of a job with a chosen id: the digest of its submission ('' for a job without one), state, priority; nil
-- for a new one.
local function known_by_id(id)
  local fields = read_record(id, 'named', 'state', 'priority')
  if fields[2] then
    return fields[1] or '', fields[2], fields[3]
  end
  return redis.call('GET', P .. KEY.named .. id) or nil
end

-- Return what to answer for a job that is stored already.
local function answer_named(id)
  local _, state, priority = known_by_id(id)
  return state and id .. ' ' .. state .. ' ' .. (priority or '') or 'DUPLICATE'
end

-- Return the numbers of a call's jobs whose ids are those of other jobs, each with TAKEN. `jobs` has `stride` values of each.
local function ids_taken(jobs, options, stride)
  local taken = {}
  for i = 1, #jobs, stride do
    local named = options[i] and options[i].named or ''
    local known = named ~= '' and known_by_id(jobs[i])
    if known and known ~= named then
      taken[#taken + 1] = (i + stride - 1) / stride
      taken[#taken + 1] = 'TAKEN'
    end
  end
  return taken
end

local function remember_named(id, digest)
  set_extra(id, 'named', digest, 'created', now)
  redis.call('SET', P .. KEY.named .. id, digest, 'PX', NAMED_FOR)
end
