"""Which columns of the manifest a prediction reads and fills."""

COLUMNS = (
    "pred",
    "pred_sha256",
    "pred_fingerprint",
    "predictor",
    "predictor_sha256",
    "pred_psnr",
    "pred_ssim",
    "pred_lpips",
    "inputs_lpips",
    "motion",
)
ACCURATE_COLUMNS = (
    "accurate_predictor",
    "accurate_predictor_sha256",
    "accurate_psnr",
    "accurate_lpips",
    "accurate_gain",
)
MEASURE_COLUMNS = ("pred_flolpips", "pred_psnr_div")
ROLES = {"pred": COLUMNS, "accurate": ACCURATE_COLUMNS, "measures": MEASURE_COLUMNS}  # kind of run -> what it fills
OF_PRED = (*ACCURATE_COLUMNS, *MEASURE_COLUMNS)  # hold for one prediction only: another one empties them
NEEDED_COLUMNS = ("img0", "gt", "img1", "img0_index", "gt_index", "img1_index", "width", "height")
READ_COLUMNS = (*NEEDED_COLUMNS, "pred", "inputs_lpips", "motion")  # the last three may be null
