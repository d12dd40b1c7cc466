// A bucket that takes no time, because it stores nothing. With it, only the Worker's own time is measured.

const upload = {
  uploadId: 'bucketless',
  /** @param {number} partNumber */
  uploadPart: async (partNumber) => ({ partNumber, etag: 'bucketless' }),
  complete: async () => ({}),
  abort: async () => {},
};

export const bucketless = {
  createMultipartUpload: async () => upload,
  resumeMultipartUpload: () => upload,
  put: async () => ({}),
};
